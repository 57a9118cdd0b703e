//! Makes the drinks of paid orders.
