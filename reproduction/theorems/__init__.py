"""The theorems, by enumeration."""
