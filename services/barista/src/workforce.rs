//! Who brews what. Pure.
//!
//! Oldest order first, and a drink goes to the free barista who can do the least
//! besides: whoever can do everything is kept for what nobody else can do.

use uuid::Uuid;

/// A barista who is free.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Barista {
    /// "ada".
    pub barista_id: String,
    /// "espresso", "filter", "tea".
    pub skills: Vec<String>,
}

/// A drink that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The order.
    pub order_id: Uuid,
    /// The order's line.
    pub line: i32,
    /// The unit within the line.
    pub unit: i32,
    /// Id of the drink.
    pub drink: String,
    /// Id of the size.
    pub size: String,
    /// What its barista must be able to do.
    pub skill: String,
    /// How long it takes by the recipe.
    pub brew_time_ms: i32,
}

impl Open {
    /// What it is told apart by. Sorts as drinks are served: order ids rise with time.
    pub fn key(&self) -> (Uuid, i32, i32) {
        (self.order_id, self.line, self.unit)
    }
}

/// A barista and a drink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Who brews it.
    pub barista_id: String,
    /// The drink.
    pub open: Open,
}

/// Gives each free barista at most one drink.
pub fn assign(mut free: Vec<Barista>, mut open: Vec<Open>) -> Vec<Assignment> {
    free.sort_by_key(|barista| barista.skills.len());
    open.sort_by_key(Open::key);
    open.into_iter()
        .filter_map(|open| {
            let able = free.iter().position(|b| b.skills.contains(&open.skill))?;
            let barista_id = free.remove(able).barista_id;
            Some(Assignment { barista_id, open })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barista(barista_id: &str, skills: &[&str]) -> Barista {
        Barista {
            barista_id: barista_id.into(),
            skills: skills.iter().map(|&skill| skill.into()).collect(),
        }
    }

    fn open(order: u128, skill: &str) -> Open {
        Open {
            order_id: Uuid::from_u128(order),
            line: 0,
            unit: 0,
            drink: skill.into(),
            size: "small".into(),
            skill: skill.into(),
            brew_time_ms: 0,
        }
    }

    /// Who brews which order.
    fn assigned(free: &[Barista], open: &[Open]) -> Vec<(String, u128)> {
        assign(free.to_vec(), open.to_vec())
            .into_iter()
            .map(|a| (a.barista_id, a.open.order_id.as_u128()))
            .collect()
    }

    #[test]
    fn a_barista_gets_one_drink_and_the_oldest_order_comes_first() {
        let free = [barista("bruno", &["espresso"])];
        let open = [open(2, "espresso"), open(1, "espresso")];
        assert_eq!(assigned(&free, &open), [("bruno".into(), 1)]);
    }

    #[test]
    fn nobody_brews_what_they_cannot() {
        let free = [barista("bruno", &["espresso"])];
        assert_eq!(assigned(&free, &[open(1, "tea")]), []);
    }

    #[test]
    fn the_generalist_is_kept_for_what_nobody_else_can_do() {
        let free = [
            barista("ada", &["espresso", "filter", "tea"]),
            barista("bruno", &["espresso"]),
        ];
        let open = [open(1, "espresso"), open(2, "tea")];
        let expected = [("bruno".into(), 1), ("ada".into(), 2)];
        assert_eq!(assigned(&free, &open), expected);
    }
}
