"""A YAML config: what may stand in it, and how it is read. The only home of defaults."""

from backprop_cli.config.load import (
    check_config,
    config_text,
    load_config,
    parse_values,
    read_config,
)
from backprop_cli.config.schema import Config

__all__ = ["Config", "check_config", "config_text", "load_config", "parse_values", "read_config"]
