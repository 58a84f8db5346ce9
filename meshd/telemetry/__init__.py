"""What a proxy tells about its traffic: metrics and access logs."""
