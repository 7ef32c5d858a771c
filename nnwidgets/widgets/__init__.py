"""The widgets: traits and the wire. The only place that knows Jupyter."""
