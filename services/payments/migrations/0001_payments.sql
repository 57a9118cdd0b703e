-- The ledger: what was decided for each idempotency key, and never decided again.
--
-- A row is a decision that was made. There are no rows of charges that are "in
-- progress": one transaction inserts the row with its decision, so that a crash leaves
-- either all of it or nothing.
create table payments (
    -- UUIDv7: rises with time, so that the primary key also lists the newest first.
    payment_id      uuid        not null,

    -- What the caller repeats when it does not know the outcome.
    idempotency_key text        not null,

    -- The rest of the request that made the decision. Whoever comes with the same key
    -- and anything else is told so, instead of being answered for a charge that it did
    -- not ask for.
    order_id        uuid        not null,
    amount_minor    bigint      not null,
    currency_code   text        not null,
    -- A fingerprint is enough to compare tokens. A ledger that held the tokens would
    -- let whoever reads it charge them.
    token_sha256    bytea       not null,

    state           text        not null,
    decline_reason  text,
    -- What was given back so far.
    refunded_minor  bigint      not null default 0,
    create_time     timestamptz not null,

    constraint payments_pkey primary key (payment_id),

    -- The whole promise of this service. Of two transactions that insert the same key,
    -- the second waits here until the first is over, and then finds its row: also when
    -- they run in two processes, and when both began before either row was there.
    constraint payments_idempotency_key_key unique (idempotency_key),

    -- A charge of nothing, or of less, would be a gift that no book expects.
    constraint payments_amount_positive check (amount_minor > 0),
    constraint payments_currency_code_iso_4217 check (currency_code ~ '^[A-Z]{3}$'),
    -- A token stored in this column by mistake would rarely have 32 bytes.
    constraint payments_token_sha256_is_a_digest check (octet_length(token_sha256) = 32),

    -- A state that this version does not know could not be answered for.
    constraint payments_state_known check (state in ('CHARGED', 'DECLINED')),
    -- A decline without a reason helps nobody; a charge with one contradicts itself.
    constraint payments_declined_with_reason check
        ((state = 'DECLINED') = (decline_reason is not null)),
    -- Only money that was taken can be given back, and no more than that.
    constraint payments_refunded_within_charge check
        (refunded_minor between 0 and case state when 'CHARGED' then amount_minor else 0 end)
);
