"""Run directories: what runs and sweeps leave behind, and how they go on."""
