//! The machine by its inputs and facts.
