"""What it means: the history of a cluster, the verdict on each of its VMs, and what the cluster becomes."""
