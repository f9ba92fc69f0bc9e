//! Sizes, for people and from people.

use crate::error::CliError;

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `0 B`, `812 B`, `4.1 KiB`, `17 MiB`.
pub(crate) fn bytes(size: u64) -> String {
    let (unit, factor) = UNITS.iter().find(|(_, factor)| size >= *factor).copied().unwrap_or(("B", 1));
    let (whole, tenth) = (size / factor, size % factor * 10 / factor);
    if factor == 1 || whole >= 10 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

/// Reads `5G`, `500M`, `64K` or `1024`; `GiB` and `GB` mean the same, 1,024 to the step.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, CliError> {
    let wrong = || CliError::SizeForm { text: text.to_owned() };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let Ok(number) = number.parse::<u64>() else { return Err(wrong()) };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_read_back() {
        let cases = [
            (0, "0 B"),
            (812, "812 B"),
            (1_024, "1.0 KiB"),
            (4_200, "4.1 KiB"),
            (17 << 20, "17 MiB"),
            (3 << 30, "3.0 GiB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
        for (text, size) in [("5G", 5 << 30), ("500m", 500 << 20), ("64 KiB", 64 << 10), ("1024", 1_024)] {
            assert_eq!(parse_bytes(text).unwrap(), size);
        }
        for text in ["", "G", "5X", "-1", "1.5G", "99999999999G"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
