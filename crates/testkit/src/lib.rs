//! What tests share: fixed clocks, builders, seeds.
