-- The ledger: what was decided for each idempotency key, and never decided again.
--
-- A row is a decision that was made. There are no rows of charges that are "in
-- progress": one transaction inserts the row with its decision, so that a crash leaves
-- either all of it or nothing. One thing can happen to a row later: what was charged is
-- given back.
create table payments (
    -- UUIDv7: rises with time, so that the primary key also lists the newest first.
    payment_id      uuid        not null,

    -- What the caller repeats when it does not know the outcome.
    idempotency_key text        not null,

    -- The rest of the request that made the decision. Whoever comes with the same key
    -- and anything else is told so, instead of being answered for a charge that it did
    -- not ask for. Null in a tombstone: a key that was closed before anybody charged, of
    -- which nothing else is known.
    order_id        uuid,
    amount_minor    bigint,
    currency_code   text,
    -- A fingerprint is enough to compare tokens. A ledger that held the tokens would
    -- let whoever reads it charge them.
    token_sha256    bytea,

    state           text        not null,
    decline_reason  text,
    -- What was given back: all or nothing.
    refunded_minor  bigint      not null default 0,
    create_time     timestamptz not null,

    constraint payments_pkey primary key (payment_id),

    -- The whole promise of this service. Of two transactions that insert the same key,
    -- the second waits here until the first is over, and then finds its row: also when
    -- they run in two processes, and when both began before either row was there.
    constraint payments_idempotency_key_key unique (idempotency_key),

    -- What is known of the charge is known whole, and of a tombstone nothing is.
    constraint payments_charge_unless_cancelled check
        (num_nonnulls(order_id, amount_minor, currency_code, token_sha256)
            = case state when 'CANCELLED' then 0 else 4 end),
    -- A charge of nothing, or of less, would be a gift that no book expects.
    constraint payments_amount_positive check (amount_minor > 0),
    constraint payments_currency_code_iso_4217 check (currency_code ~ '^[A-Z]{3}$'),
    -- A token stored in this column by mistake would rarely have 32 bytes.
    constraint payments_token_sha256_is_a_digest check (octet_length(token_sha256) = 32),

    -- A state that this version does not know could not be answered for.
    constraint payments_state_known check
        (state in ('CHARGED', 'DECLINED', 'CANCELLED', 'REFUNDED')),
    -- A decline without a reason helps nobody; a charge with one contradicts itself.
    constraint payments_declined_with_reason check
        ((state = 'DECLINED') = (decline_reason is not null)),
    -- Only money that was taken can be given back, no more than that, and no less.
    constraint payments_refunded_in_full check
        (refunded_minor = case state when 'REFUNDED' then amount_minor else 0 end)
);

-- Money given back. Inserted in the transaction that makes the payment REFUNDED.
create table refunds (
    refund_id       uuid        not null,

    -- What the caller of Refund repeats. Null if CancelPayment gave the money back: that
    -- call is keyed by the payment itself. Keys of refunds and of charges are looked up
    -- in their own tables: Refund refuses a key that a payment has, but a charge that
    -- comes after it with its key is not kept from happening.
    idempotency_key text,

    payment_id      uuid        not null,
    amount_minor    bigint      not null,
    currency_code   text        not null,
    -- For people; empty if none was given.
    reason          text        not null,
    create_time     timestamptz not null,

    constraint refunds_pkey primary key (refund_id),
    constraint refunds_idempotency_key_key unique (idempotency_key),

    -- Money goes back once, whichever call gives it, under whatever key. Both calls lock
    -- the payment first; this is what holds if one of them ever does not.
    constraint refunds_payment_id_key unique (payment_id),
    constraint refunds_payment_id_fkey foreign key (payment_id) references payments (payment_id),
    constraint refunds_amount_positive check (amount_minor > 0)
);
