"""``python -m backprop_cli.config`` prints the JSON schema that is shipped as schema.json."""

import json

from backprop_cli.config.schema import Config


def schema_text() -> str:
    """Return the JSON schema of a config, as the shipped file has it."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
