"""Programs as graphs: types, operations, and their reference meaning."""
