//! The one loop: compares what the engine wants with what is in flight, and performs the difference.
