//! Messages of `BaristaService`, to and from the domain.
//!
//! A state is stored as the end of its name on the wire, so that a state which only a
//! newer version writes is still listed for what it is.

use crate::{
    announce::timestamp,
    store::list::{self, TicketDrink},
};
use proto::barista::v1::{self as wire, DrinkState, TicketState};
use rpc::{page, status::Violations};
use std::{collections::HashMap, str::FromStr};
use tonic::Status;
use uuid::Uuid;

const TICKET_STATE: &str = "TICKET_STATE_";
const DRINK_STATE: &str = "DRINK_STATE_";

/// A part of a list.
pub struct Page<Key> {
    /// The key of the last row of the page before.
    pub after: Option<Key>,
    size: i64,
    /// The call and its filters.
    list: String,
}

impl<Key: FromStr> Page<Key> {
    fn read(violations: &mut Violations, list: String, size: i32, token: &str) -> Self {
        let after = page::decode(&list, token).and_then(|key| key.parse().ok());
        if after.is_none() && !token.is_empty() {
            violations.add("page_token", "must be the next_page_token of this list");
        }
        let size = page::size(size).unwrap_or_else(|| {
            violations.add("page_size", "must not be negative");
            0
        });
        Self { after, size, list }
    }

    /// How many rows to read: one more than the page has tells whether another follows.
    pub fn limit(&self) -> i64 {
        self.size + 1
    }

    /// Cuts the rows that were read to the page, and returns the token of the next one.
    fn cut<Row>(&self, rows: &mut Vec<Row>, key: impl Fn(&Row) -> &str) -> String {
        let size = usize::try_from(self.size).unwrap_or_default();
        let is_last = rows.len() <= size;
        rows.truncate(size);
        match rows.last() {
            Some(last) if !is_last => page::encode(&self.list, key(last)),
            _ => String::new(),
        }
    }
}

/// The stored name of the state to list, if any, and the page.
pub fn list_tickets(
    request: &wire::ListTicketsRequest,
) -> Result<(Option<&'static str>, Page<Uuid>), Status> {
    let mut violations = Violations::new();
    let state = match TicketState::try_from(request.state) {
        Ok(TicketState::Unspecified) => None,
        Ok(state) => state.as_str_name().strip_prefix(TICKET_STATE),
        Err(_) => {
            violations.add("state", "must be a TicketState");
            None
        }
    };
    let list = format!("ListTickets state={}", state.unwrap_or_default());
    let page = Page::read(
        &mut violations,
        list,
        request.page_size,
        &request.page_token,
    );
    violations.into_result()?;
    Ok((state, page))
}

/// The page of baristas.
pub fn list_baristas(request: &wire::ListBaristasRequest) -> Result<Page<String>, Status> {
    let mut violations = Violations::new();
    let list = "ListBaristas".to_owned();
    let page = Page::read(
        &mut violations,
        list,
        request.page_size,
        &request.page_token,
    );
    violations.into_result()?;
    Ok(page)
}

/// The response, from the rows that were read: one per drink, a ticket's side by side.
pub fn tickets(drinks: &[TicketDrink], page: &Page<Uuid>) -> wire::ListTicketsResponse {
    let of_one = |a: &TicketDrink, b: &TicketDrink| a.ticket.order_id == b.ticket.order_id;
    let mut tickets: Vec<_> = drinks.chunk_by(of_one).filter_map(ticket).collect();
    wire::ListTicketsResponse {
        next_page_token: page.cut(&mut tickets, |ticket| &ticket.order_id),
        tickets,
    }
}

/// The tickets by order, from the rows that were read.
pub fn by_order(drinks: &[TicketDrink]) -> HashMap<Uuid, wire::Ticket> {
    let of_one = |a: &TicketDrink, b: &TicketDrink| a.ticket.order_id == b.ticket.order_id;
    let tickets = drinks.chunk_by(of_one);
    tickets
        .filter_map(|drinks| Some((drinks.first()?.ticket.order_id, ticket(drinks)?)))
        .collect()
}

fn ticket(drinks: &[TicketDrink]) -> Option<wire::Ticket> {
    let ticket = &drinks.first()?.ticket;
    let state = TicketState::from_str_name(&format!("{TICKET_STATE}{}", ticket.state));
    Some(wire::Ticket {
        order_id: ticket.order_id.to_string(),
        state: state.unwrap_or_default().into(),
        revision: ticket.revision,
        drinks: drinks.iter().filter_map(drink).collect(),
        create_time: Some(timestamp(ticket.create_time)),
        update_time: Some(timestamp(ticket.update_time)),
        cancel_refused: ticket.cancel_refused,
        fail_reason: ticket.fail_reason.clone().unwrap_or_default(),
    })
}

fn drink(drink: &TicketDrink) -> Option<wire::Drink> {
    let state = drink.drink_state.as_ref()?;
    let state = DrinkState::from_str_name(&format!("{DRINK_STATE}{state}"));
    Some(wire::Drink {
        line: drink.line?,
        unit: drink.unit?,
        drink: drink.drink.clone()?,
        size: drink.size.clone()?,
        state: state.unwrap_or_default().into(),
        barista_id: drink.barista_id.clone().unwrap_or_default(),
        attempt: drink.attempt?,
        made_time: drink.made_time.map(timestamp),
    })
}

/// The response, from the rows that were read.
pub fn baristas(rows: Vec<list::Barista>, page: &Page<String>) -> wire::ListBaristasResponse {
    let mut baristas: Vec<_> = rows.into_iter().map(barista).collect();
    wire::ListBaristasResponse {
        next_page_token: page.cut(&mut baristas, |barista| &barista.barista_id),
        baristas,
    }
}

fn barista(row: list::Barista) -> wire::Barista {
    let brewing = row.order_id.map(|order_id| wire::Brewing {
        order_id: order_id.to_string(),
        drink: row.drink.unwrap_or_default(),
        size: row.size.unwrap_or_default(),
        start_time: row.start_time.map(timestamp),
    });
    wire::Barista {
        barista_id: row.barista_id,
        display_name: row.display_name,
        skills: row.skills,
        brewing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(state: TicketState, page_token: &str) -> wire::ListTicketsRequest {
        wire::ListTicketsRequest {
            state: state.into(),
            page_size: 2,
            page_token: page_token.into(),
        }
    }

    fn row(order: u128) -> TicketDrink {
        TicketDrink {
            ticket: list::TicketHead {
                order_id: Uuid::from_u128(order),
                state: "QUEUED".into(),
                revision: 1,
                fail_reason: None,
                cancel_refused: false,
                create_time: chrono::DateTime::UNIX_EPOCH,
                update_time: chrono::DateTime::UNIX_EPOCH,
            },
            line: Some(0),
            unit: Some(0),
            drink: Some("tea".into()),
            size: Some("small".into()),
            drink_state: Some("WAITING".into()),
            barista_id: None,
            attempt: Some(0),
            made_time: None,
        }
    }

    fn read(state: TicketState, token: &str) -> (Option<&'static str>, Page<Uuid>) {
        list_tickets(&request(state, token)).expect("a good request")
    }

    #[test]
    fn a_page_leads_to_the_next_one_with_the_same_filter_only() {
        let (state, page) = read(TicketState::Queued, "");
        assert_eq!((state, page.limit()), (Some("QUEUED"), 3));
        let response = tickets(&[row(3), row(3), row(2), row(1)], &page);
        assert_eq!(response.tickets.len(), 2);
        assert_eq!(response.tickets[0].drinks.len(), 2);
        assert_eq!(response.tickets[0].state(), TicketState::Queued);
        assert_eq!(response.tickets[0].drinks[0].state(), DrinkState::Waiting);

        let token = response.next_page_token;
        let (_, next) = read(TicketState::Queued, &token);
        assert_eq!(next.after, Some(Uuid::from_u128(2)));
        assert!(list_tickets(&request(TicketState::Ready, &token)).is_err());
    }

    #[test]
    fn the_last_page_has_no_token() {
        let (_, page) = read(TicketState::Unspecified, "");
        assert_eq!(tickets(&[row(2), row(1)], &page).next_page_token, "");
    }

    #[test]
    fn a_ticket_without_drinks_is_listed_too() {
        let (_, page) = read(TicketState::Unspecified, "");
        let tombstone = TicketDrink {
            line: None,
            drink_state: None,
            ..row(1)
        };
        let listed = tickets(&[row(2), tombstone], &page).tickets;
        let drinks: Vec<usize> = listed.iter().map(|ticket| ticket.drinks.len()).collect();
        assert_eq!(drinks, [1, 0]);
    }

    #[test]
    fn every_violation_is_listed() {
        let refused = list_tickets(&wire::ListTicketsRequest {
            state: 99,
            page_size: -1,
            page_token: "forged".into(),
        });
        let message = refused.err().map(|status| status.message().to_owned());
        assert_eq!(message.as_deref(), Some("3 violations"));
    }
}
