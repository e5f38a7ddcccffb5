"""Problem sets with verifiers: no model, no estimator."""
