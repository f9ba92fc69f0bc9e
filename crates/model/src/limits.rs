//! Every limit that holds everywhere, with its unit. An embedder meets them as typed errors.

/// Bytes of one event's payload. A larger value is a blob.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// Bytes of all payloads in one batch.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of what a fold has made of a topic, to be kept beside it.
pub const FOLD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a question that a step asks.
pub const ASK_PROMPT_BYTES_MAX: usize = 4 * 1024;
/// Answers that such a question offers.
pub const ASK_OPTIONS_MAX: usize = 16;
/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Characters of a topic's name.
pub const TOPIC_CHARS_MAX: usize = 200;
/// Events in one page of a read.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// Inputs that wait in one topic's inbox.
pub const INBOX_INPUTS_MAX: usize = 10_000;
/// Inputs that an owner takes in one pass.
pub const INPUTS_PER_PASS_MAX: usize = 64;
/// Events that one input may lead to in one append.
pub const CONSEQUENCES_MAX: usize = 1_000;
/// Bytes of a text that stands in an event itself; a longer one is a blob.
pub const INLINE_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a step's output that expressions can see. Beyond it only the spool has the whole.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a step's `log` (both streams in order): the last ones are kept.
pub const LOG_TAIL_BYTES: usize = 256 * 1024;
/// Bytes of one argument or one environment variable that can start on Linux (`MAX_ARG_STRLEN` less its end).
pub const ARGUMENT_BYTES_MAX: usize = 131_071;
/// Bytes of one summary in an index row.
pub const SUMMARY_BYTES_MAX: usize = 1024;
/// Characters of an idempotency key.
pub const KEY_CHARS_MAX: usize = 200;
/// Frames of one scope: loops and fan-outs in each other, workers and sessions in them.
pub const SCOPE_FRAMES_MAX: usize = 64;
/// Characters of a step's id.
pub const STEP_ID_CHARS_MAX: usize = 64;
/// Losses of one effect in a row after which a person is asked.
pub const LOSSES_IN_A_ROW_MAX: u32 = 3;
/// Steps in one workflow, groups included.
pub const STEPS_MAX: usize = 10_000;
