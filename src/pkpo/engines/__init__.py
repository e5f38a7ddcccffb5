"""Engines that sample from a policy and take gradient steps. They import the core alone."""
