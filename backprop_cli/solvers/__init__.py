"""What moves W and b: mini-batch gradient descent, its update rule and its schedules."""
