"""From TOML to a checked configuration."""
