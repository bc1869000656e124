"""What an extra of pip brings: found here by name, imported by nobody in the core.

Each entry is `module:name` below this package, imported when it is asked for.
"""

STORES = {
    "postgres": "postgres.postgres:PostgresStore",
    "postgresql": "postgres.postgres:PostgresStore",
    "ray": "ray.sharded:ShardedStore",
}
"""The stores by the scheme of their place."""

COMMANDS = {"features": "handmade.features_command", "golden": "handmade.golden_command"}
"""The commands of `deep-ranking` that the core does not have."""
