//! Owning whatever is due: what `backstay up` does.
