//! The laws that every store keeps.

mod alike;
mod appending;
mod following;
mod index;
mod owning;
mod positions;
mod reading;

use std::time::Duration;

pub(crate) use appending::{
    l5_a_batch_is_there_whole_or_not_at_all, l6_a_stale_writer_is_refused_with_the_actual_head,
    l8_the_key_is_looked_up_before_everything_else, l8_the_same_key_gives_the_first_numbers,
    limits_are_typed_errors, times_never_go_back,
};
pub(crate) use following::{
    l9_a_subscriber_gets_every_event_once_while_sixteen_write, l10_a_slow_subscriber_gets_all_of_it,
    l12_a_cursor_leads_back_to_where_it_was_taken, l12_a_cursor_of_elsewhere_or_ahead_is_its_own_error,
    l14_a_live_event_comes_between_the_events_it_was_said_between, l14_live_events_never_change_a_number,
    l14_positions_of_dropped_live_events_are_not_drawn_again,
    l14_what_was_said_before_the_cursor_is_not_said_again,
};
pub(crate) use index::{inputs_wake_and_an_ended_topic_takes_none, rows_are_found_by_kind_state_and_time};
pub(crate) use owning::{
    l6_an_old_epoch_is_refused_also_when_the_numbers_fit,
    l15_a_claim_takes_what_is_free_and_fences_who_had_it,
    l15_a_guard_that_is_lost_claims_nothing_and_what_it_owned_is_free,
    l15_every_epoch_is_greater_than_the_one_before, l20_a_thousand_inputs_refuse_no_owner,
    l20_an_inbox_has_an_end, l20_what_was_said_stops_a_park,
};
pub(crate) use positions::{
    an_incarnation_draws_positions_above_its_floor, l13_nothing_is_added_at_or_below_the_readable_horizon,
    l13_positions_rise_and_every_one_can_be_read_on_from,
    l13_what_was_acknowledged_is_readable_by_topic_at_once_and_in_all_at_its_horizon,
    what_one_hands_over_keeps_its_order_in_each_topic,
};
pub(crate) use reading::{
    l2_numbers_are_dense_from_one_and_go_on, l3_a_filter_takes_kinds_and_scopes,
    l3_any_page_size_gives_the_same_sequence,
    l4_what_is_not_there_is_empty_and_backwards_is_forwards_reversed, l21_no_page_ends_inside_a_batch,
    reads_that_nobody_waits_for_hold_no_other_up,
};

/// Runs every law of this folder against the store that `$fixture` makes.
macro_rules! laws {
    ($fixture:path) => {
        laws!($fixture;
            l2_numbers_are_dense_from_one_and_go_on,
            l3_any_page_size_gives_the_same_sequence,
            l3_a_filter_takes_kinds_and_scopes,
            l4_what_is_not_there_is_empty_and_backwards_is_forwards_reversed,
            l5_a_batch_is_there_whole_or_not_at_all,
            l6_a_stale_writer_is_refused_with_the_actual_head,
            l6_an_old_epoch_is_refused_also_when_the_numbers_fit,
            l8_the_same_key_gives_the_first_numbers,
            l8_the_key_is_looked_up_before_everything_else,
            l9_a_subscriber_gets_every_event_once_while_sixteen_write,
            l10_a_slow_subscriber_gets_all_of_it,
            l12_a_cursor_of_elsewhere_or_ahead_is_its_own_error,
            l12_a_cursor_leads_back_to_where_it_was_taken,
            l13_positions_rise_and_every_one_can_be_read_on_from,
            l13_nothing_is_added_at_or_below_the_readable_horizon,
            l13_what_was_acknowledged_is_readable_by_topic_at_once_and_in_all_at_its_horizon,
            l14_live_events_never_change_a_number,
            l14_a_live_event_comes_between_the_events_it_was_said_between,
            l14_positions_of_dropped_live_events_are_not_drawn_again,
            l14_what_was_said_before_the_cursor_is_not_said_again,
            l15_a_claim_takes_what_is_free_and_fences_who_had_it,
            l15_every_epoch_is_greater_than_the_one_before,
            l15_a_guard_that_is_lost_claims_nothing_and_what_it_owned_is_free,
            l20_what_was_said_stops_a_park,
            l20_a_thousand_inputs_refuse_no_owner,
            l20_an_inbox_has_an_end,
            l21_no_page_ends_inside_a_batch,
            what_one_hands_over_keeps_its_order_in_each_topic,
            an_incarnation_draws_positions_above_its_floor,
            inputs_wake_and_an_ended_topic_takes_none,
            rows_are_found_by_kind_state_and_time,
            reads_that_nobody_waits_for_hold_no_other_up,
            times_never_go_back,
            limits_are_typed_errors,
        );
    };
    ($fixture:path; $($law:ident,)*) => {
        $(#[tokio::test]
        async fn $law() {
            crate::suite::$law($fixture()).await;
        })*
    };
}

/// A bound for what must not hang; it is never waited for when all is well.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
