// Orders a coffee: the menu, an error in full, a safe retry, and a watch until it is READY.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { ClientError, createChannel, createClientFactory, Status } from "nice-grpc";
import { deadlineMiddleware } from "nice-grpc-client-middleware-deadline";
import { BadRequest, ErrorInfo, errorDetailsClientMiddleware, RichClientError } from "nice-grpc-error-details";
import { Order, OrderState } from "./gen/coffeeshop/reception/v1/order.js";
import { ReceptionServiceDefinition } from "./gen/coffeeshop/reception/v1/reception_service.js";

const config = readFileSync(new URL("../service-config.json", import.meta.url), "utf8");
const channel = createChannel(process.argv[2], undefined, { "grpc.service_config": config });
const reception = createClientFactory()
  .use(deadlineMiddleware)
  .use(errorDetailsClientMiddleware)
  .create(ReceptionServiceDefinition, channel);

/** The code, and what google.rpc says of it: a reason for programs, and the fields in question. */
function explain(error: unknown): string {
  if (!(error instanceof ClientError)) throw error;
  const words = [Status[error.code]];
  for (const detail of error instanceof RichClientError ? error.extra : []) {
    if (detail.$type === ErrorInfo.$type) words.push(detail.reason);
    if (detail.$type === BadRequest.$type) {
      words.push(...detail.fieldViolations.map((field) => `(${field.field}: ${field.description})`));
    }
  }
  return words.join(" ");
}

const state = (order?: Order) => order?.state.replace("ORDER_STATE_", "");

/** A stream that ended with these goes on where it was: the server went, or we were too slow. */
const RESUME = [Status.UNAVAILABLE, Status.ABORTED];

/** Until READY, or until nothing more can come. A stream that breaks is resumed where it was. */
async function watch(orderId: string) {
  let revision = 0;
  for (;;) {
    try {
      for await (const { order } of reception.watchOrder({ orderId, afterRevision: revision })) {
        if (!order) continue; // A heartbeat.
        revision = order.revision;
        console.log(`watched: ${state(order)}`);
        if (order.state === OrderState.ORDER_STATE_READY) return;
      }
      return;
    } catch (error) {
      if (!(error instanceof ClientError) || !RESUME.includes(error.code)) throw error;
      await setTimeout(1000); // What is away does not come back sooner for being asked.
    }
  }
}

const { menuItems } = await reception.listMenuItems({ pageSize: 100 });
const [first] = menuItems;
console.log(`menu: ${menuItems.length} drinks, ${first.title} for ${(first.price!.amountMinor / 100).toFixed(2)}`);

const mud = { drink: "mud", size: "large", quantity: 0 };
await reception
  .placeOrder({ customerName: "Ada", items: [mud] })
  .catch((error) => console.log(`refused: ${explain(error)}`));

// The id is chosen once for an order, and sent with every try: none of them can order twice.
const latte = { drink: "latte", size: "large", quantity: 1 };
const request = { requestId: randomUUID(), customerName: "Ada", items: [latte], paymentToken: "tok_visa" };
await reception
  .placeOrder(request, { deadline: 1 })
  .catch((error) => console.log(`unknown: ${explain(error)}`)); // Placed or not: nobody waited.
await reception.getOrder({ requestId: request.requestId }).then(
  ({ order }) => console.log(`looked up: ${state(order)}`),
  (error) => console.log(`looked up: ${explain(error)}`), // Not yet: it may still be under way.
);
const { order: placed } = await reception.placeOrder(request);
console.log(`placed: ${placed!.orderId}`);
const { order: again } = await reception.placeOrder(request);
console.log(`placed again: ${again!.orderId}`);
await watch(placed!.orderId);
channel.close();
