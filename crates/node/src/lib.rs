//! One machine: pools, template trees, leases, reclaim.
