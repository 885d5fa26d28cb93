//! Links, addresses, routes and nftables over netlink.
