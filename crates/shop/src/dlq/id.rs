//! Which dead letter, of which service.

use std::{fmt, str::FromStr};

use super::KEEPERS;
use crate::part::Part;

/// `barista/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) keeper: Part,
    pub(super) dead_letter_id: i64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.keeper, self.dead_letter_id))
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it as `shop dlq list` shows it: barista/3".to_owned();
        let (name, number) = text.split_once('/').ok_or_else(wrong)?;
        let keeper = KEEPERS.into_iter().find(|keeper| keeper.name() == name);
        Ok(Self {
            keeper: keeper.ok_or_else(wrong)?,
            dead_letter_id: number.parse().map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_it_is() {
        let id: Id = "barista/3".parse().expect("it is one");
        assert_eq!((id.keeper, id.dead_letter_id), (Part::Barista, 3));
        assert_eq!(id.to_string(), "barista/3");
        for wrong in ["3", "kafka/3", "barista/", "barista/x", "barista/3/4"] {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }
}
