//! Every default, limit, time-out, port and path of the product.
