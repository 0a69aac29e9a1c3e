"""Settings and limits as frozen structs, each with its unit and the reason for its default.

Nothing here reads files, the environment or the clock: ``zmesh.disk.settings`` fills these structs from TOML.
"""
