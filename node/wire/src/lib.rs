//! Streaming: channel framing over WebSocket and SPDY/3.1.
//!
//! Pure core: the frame codecs.
//!
//! It must not know Kubernetes objects, HTTP routing or authorization.
