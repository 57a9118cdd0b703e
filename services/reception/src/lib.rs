//! Takes orders, charges them, and tells the barista.
