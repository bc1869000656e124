"""Past one machine: images embedded by Ray workers, in shards that outlive them."""
