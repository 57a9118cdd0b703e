-- The tables behind crates/messaging. Each service that publishes or consumes
-- carries a copy of this file as its first migration; a test compares them.
-- Needs PostgreSQL 17 or newer (identity columns on partitioned tables).

-- Events to publish, written in the transaction that changes state. Append-only:
-- a row that has been sent differs from one that has not only by the cursor of
-- its part, so publishing costs no update, no dead tuple and no vacuum.
--
-- `xid` is the transaction that wrote the row. A relay reads only rows whose
-- transaction, and every older one, is over: `xid < pg_snapshot_xmin(...)`. By
-- `seq` alone it would pass over a row with a small seq that commits late.
create table outbox (
    part        smallint    not null,
    xid         xid8        not null default pg_current_xact_id(),
    seq         bigint      not null generated always as identity,
    event_id    uuid        not null,
    event_type  text        not null,
    order_id    uuid        not null,
    revision    bigint      not null,
    occur_time  timestamptz not null,
    payload     bytea       not null,
    traceparent text,
    tracestate  text,
    create_time timestamptz not null default now(),
    constraint outbox_part_range check (part between 0 and 7)
) partition by range (create_time);

create index outbox_order on outbox (part, xid, seq);
create table outbox_default partition of outbox default;

-- Who publishes which part, and how far. A lease is a row: owner, epoch, expiry by
-- this server's clock. The epoch rises whenever a part changes hands, and the cursor
-- moves only `where epoch = mine`, so a relay that lost its lease without noticing
-- cannot move it.
create table outbox_parts (
    part              smallint    primary key,
    owner             uuid,
    epoch             bigint      not null default 0,
    lease_expire_time timestamptz not null default '-infinity',
    cursor_xid        xid8        not null default '0',
    cursor_seq        bigint      not null default 0,
    constraint outbox_parts_part_range check (part between 0 and 7)
);

insert into outbox_parts (part) select generate_series(0, 7);

-- Which relays live, so that each can tell its fair share of the parts.
create table outbox_relays (
    owner       uuid        primary key,
    expire_time timestamptz not null
);

-- Events that were handled, written in the transaction of their effect. Partitioned
-- by the event's id, which begins with the time it was made: a redelivery, however
-- late, meets its first row in the same partition. Partitioned by the time of
-- arrival it would not.
create table inbox (
    consumer     text        not null,
    event_id     uuid        not null,
    receive_time timestamptz not null default now(),
    constraint inbox_pkey primary key (consumer, event_id)
) partition by range (event_id);

create table inbox_default partition of inbox default;

-- Messages that cannot be handled, and events that cannot be published, kept whole.
-- A row is written in the transaction that records the inbox row, or in the one that
-- moves the cursor past the event: it is dealt with or parked, never neither.
--
-- A message that cannot even be decoded has no event_id: it is told apart by where
-- and when Kafka stored it. An event of our own outbox that Kafka refused was never
-- stored there: it has no origin, its `consumer` is 'relay', and with its headers and
-- its `revision`, which is not among them, it can be appended to the outbox again.
create table dead_letters (
    dead_letter_id bigint      primary key generated always as identity,
    consumer       text        not null,
    topic          text        not null,
    kafka_partition integer,
    kafka_offset   bigint,
    kafka_time_ms  bigint,
    event_id       uuid,
    revision       bigint,
    headers        jsonb       not null,
    key            bytea,
    payload        bytea,
    reason         text        not null,
    create_time    timestamptz not null default now(),
    constraint dead_letters_origin_key
        unique (consumer, topic, kafka_partition, kafka_offset, kafka_time_ms),
    constraint dead_letters_origin_whole
        check (num_nulls(kafka_partition, kafka_offset, kafka_time_ms) in (0, 3)),
    constraint dead_letters_unsent_whole
        check (kafka_offset is not null
               or num_nulls(event_id, revision, key, payload) = 0)
);

create unique index dead_letters_unsent on dead_letters (event_id) where kafka_offset is null;
