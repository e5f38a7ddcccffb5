"""The paper's own tables."""
