"""Films in, packed shards out, and batches back: sources, packing, order, stream, augmentation."""
