"""What the cluster's command line says when something is wrong."""


class ClusterError(Exception):
    """The cluster cannot do this; the text says what failed and what to look at."""
