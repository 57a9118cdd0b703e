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

-- The way out for a database that was restored from a dump into another cluster whose
-- transaction ids have not come as far: its rows would wait until they have, and what
-- is written until then would lie below the cursors. Brings rows and cursors to the
-- ids of this cluster, in the sequence they had, and returns how many events are
-- unsent. Whoever writes events waits for it. Called needlessly, it changes nothing that
-- matters. What was written here before the call lies under a cursor from elsewhere, and
-- is told from what was sent there by its id alone: in doubt it is sent again.
create function outbox_restored() returns bigint language plpgsql as $$
declare
    horizon xid8;
    reached xid8;
    unsent  bigint;
begin
    lock table outbox in share row exclusive mode;
    lock table outbox_parts in exclusive mode;
    -- A transaction that has an id and no event yet may write one later, under that id.
    horizon := pg_snapshot_xmin(pg_current_snapshot());
    reached := pg_snapshot_xmax(pg_current_snapshot());
    update outbox o set xid = pg_current_xact_id() from outbox_parts p
        where o.part = p.part and ((o.xid, o.seq) > (p.cursor_xid, p.cursor_seq)
            or p.cursor_xid >= reached and o.xid < reached and o.xid <> '0');
    get diagnostics unsent = row_count;
    update outbox o set xid = '0' from outbox_parts p
        where o.part = p.part and o.xid >= reached and o.xid <> pg_current_xact_id();
    update outbox_parts set cursor_xid = horizon, cursor_seq = 0, epoch = epoch + 1,
                            owner = null, lease_expire_time = '-infinity';
    return unsent;
end $$;

-- Which relays live, so that each can tell its fair share of the parts.
create table outbox_relays (
    owner       uuid        primary key,
    expire_time timestamptz not null
);

-- Events that were handled, written in the transaction of their effect. Partitioned
-- by the event's id, which begins with the time it was made: a redelivery, however
-- late, meets its first row in the same partition. Partitioned by the time of
-- arrival it would not. An id that no partition holds, because it is older than all
-- of them, is refused: nobody could tell whether it was handled.
create table inbox (
    consumer     text        not null,
    event_id     uuid        not null,
    receive_time timestamptz not null default now(),
    constraint inbox_pkey primary key (consumer, event_id)
) partition by range (event_id);

-- The first partition of each, for the past and the next two days; housekeeping makes
-- the others. There is no default partition: it would take what belongs into others,
-- and none could be detached while traffic runs.
do $$
declare
    until timestamptz := date_trunc('day', now(), 'UTC') + interval '2 days';
    until_id text := rpad(lpad(to_hex(extract(epoch from until)::bigint * 1000), 12, '0'), 32, '0');
begin
    execute format('create table outbox_first partition of outbox
                    for values from (minvalue) to (%L)', until);
    execute format('create table inbox_first partition of inbox
                    for values from (minvalue) to (%L)', until_id);
end $$;

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
