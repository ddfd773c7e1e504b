//! Pure pod arithmetic: requests, QoS, overhead, fit, host ports.
//!
//! Pure core: everything.
//!
//! It must not do I/O or read a clock.
