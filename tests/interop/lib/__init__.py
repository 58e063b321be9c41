"""What the interop cases are made of: processes, certificates, proxies, peers and raw sockets."""
