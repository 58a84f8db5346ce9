"""The side that faces backends: clusters, hosts, balancing, pools."""
