//! The JSON Schema of the syntax, for editors. It knows less than `check`: no names, no order, no traps.

/// The schema as JSON, with a line break at its end.
#[must_use]
pub fn json_schema() -> String {
    include_str!("schema.json").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::Deserialize;

    use super::json_schema;
    use crate::check::keys;

    /// The part of the schema that this test reads.
    #[derive(Deserialize)]
    struct Object {
        properties: BTreeMap<String, serde::de::IgnoredAny>,
    }

    #[derive(Deserialize)]
    struct Definitions {
        input: Object,
        agent: Object,
        step: Object,
    }

    #[derive(Deserialize)]
    struct Schema {
        properties: BTreeMap<String, serde::de::IgnoredAny>,
        #[serde(rename = "$defs")]
        definitions: Definitions,
    }

    #[test]
    fn the_schema_has_the_keys_that_check_reads() {
        let schema: Schema = serde_json::from_str(&json_schema()).unwrap();
        let same = |properties: &BTreeMap<String, serde::de::IgnoredAny>, keys: &keys::Keys| {
            let in_schema: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(in_schema, keys.known.iter().copied().collect(), "{}", keys.of);
        };
        same(&schema.properties, &keys::WORKFLOW);
        same(&schema.definitions.input.properties, &keys::INPUT);
        same(&schema.definitions.agent.properties, &keys::AGENT);
        same(&schema.definitions.step.properties, &keys::STEP);
    }
}
