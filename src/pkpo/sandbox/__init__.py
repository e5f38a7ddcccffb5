"""Running programs that aren't trusted, such as what a model wrote."""
