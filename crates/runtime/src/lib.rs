//! Isolation: the driver trait and the native driver.
