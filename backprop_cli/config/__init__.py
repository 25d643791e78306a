"""YAML configs: their schema, and reading and checking them. The only home of defaults."""

from backprop_cli.config.load import (
    check_config,
    config_text,
    load_config,
    parse_values,
    read_config,
)
from backprop_cli.config.schema import Config

__all__ = ["Config", "check_config", "config_text", "load_config", "parse_values", "read_config"]
