//! Payloads: JSON that is encoded once and not parsed again unless a field is asked for.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One event's JSON, kept as the text it came in. Cloning shares it.
#[derive(Clone)]
pub struct Payload(Arc<str>);

/// The text is not JSON, or not the JSON that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be read as {wanted}")]
pub struct InvalidPayload {
    /// What was asked for.
    pub wanted: &'static str,
    /// What the decoder says.
    #[source]
    pub source: serde_json::Error,
}

impl Payload {
    /// Takes `text` if it is one JSON value.
    ///
    /// # Errors
    /// [`InvalidPayload`] if it is not.
    pub fn from_text(text: String) -> Result<Payload, InvalidPayload> {
        serde_json::from_str::<&RawValue>(&text)
            .map(|raw| Payload(Arc::from(raw.get())))
            .map_err(|source| InvalidPayload { wanted: "JSON", source })
    }

    /// Takes `text` without looking at it. Only for what this project has encoded and stored itself: a payload is checked
    /// once, where it comes in, and never again on its way through the log. If the text is damaged, whoever decodes it is
    /// told.
    #[must_use]
    pub fn from_trusted(text: &str) -> Payload {
        Payload(Arc::from(text))
    }

    /// Encodes `value`.
    ///
    /// # Errors
    /// [`InvalidPayload`] if `value` has no JSON form, such as a map whose keys are not strings.
    pub fn encode<T: Serialize>(value: &T) -> Result<Payload, InvalidPayload> {
        serde_json::to_string(value)
            .map(|text| Payload(Arc::from(text)))
            .map_err(|source| InvalidPayload { wanted: std::any::type_name::<T>(), source })
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the JSON is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, InvalidPayload> {
        serde_json::from_str(self.as_str())
            .map_err(|source| InvalidPayload { wanted: std::any::type_name::<T>(), source })
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Payload {
    /// Two payloads are equal if their texts are.
    fn eq(&self, other: &Payload) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Payload(Arc::from(raw.get())))
    }
}
