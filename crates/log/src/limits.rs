//! The bounds of this crate's queues and buffers. What a caller hands over is bounded in [`backstay_model::limits`].
//!
//! | queue | bound | beyond it |
//! | --- | --- | --- |
//! | commands that wait for a commit | [`QUEUED_COMMANDS_MAX`], [`QUEUED_BYTES_MAX`] | refused: `Overloaded` |
//! | live events and fold snapshots among them | [`QUEUED_LIVE_MAX`] | dropped |
//! | commands of one commit | [`COMMIT_COMMANDS_MAX`] | the next commit |
//! | reads that wait for a thread | [`QUEUED_READS_MAX`] | the caller's future waits |
//! | connections that no reader uses | [`IDLE_READERS_MAX`] | closed |
//! | new events of a followed topic | [`RING_BYTES_MAX`], all together [`RINGS_BYTES_MAX`] | subscribers read the table |
//! | deliveries that a subscription holds | one page, or what one ring has | the subscription reads no further |
//! | index entries in memory | `OpenOptions::index_waiting_max` | commits write them |
//! | a lock that is waited for, a checkpoint that is due | 1 | they are one |

/// Commands that may wait for a commit.
pub const QUEUED_COMMANDS_MAX: usize = 16_384;
/// Bytes of payloads that may wait for a commit. A command that finds nothing else waiting is always taken.
pub const QUEUED_BYTES_MAX: usize = 32 << 20;
/// Live events and snapshots of folds are dropped when so many commands wait.
pub const QUEUED_LIVE_MAX: usize = 1_024;
/// Commands that may share one commit.
pub const COMMIT_COMMANDS_MAX: usize = 1_024;
/// Reads that may wait for one of the reading threads.
pub const QUEUED_READS_MAX: usize = 256;
/// Connections that are kept although no reader uses them.
pub const IDLE_READERS_MAX: usize = 8;
/// Bytes of payloads in the ring of one topic.
pub const RING_BYTES_MAX: usize = 8 << 20;
/// Bytes of payloads in all rings of a log.
pub const RINGS_BYTES_MAX: usize = 32 << 20;
