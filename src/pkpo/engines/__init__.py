"""Engines that sample from a policy and take gradient steps. They know no task, job or report."""
