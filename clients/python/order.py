"""Orders a coffee: the menu, an error in full, a safe retry, and a watch until it is READY."""

import sys
import time
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from coffeeshop.reception.v1 import order_pb2, reception_service_pb2 as wire
from coffeeshop.reception.v1.reception_service_pb2_grpc import ReceptionServiceStub

CONFIG = Path(__file__).parent.parent / "service-config.json"
# A stream that ended with these goes on where it was: the server went, or we were too slow.
RESUME = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)


def explain(error: grpc.RpcError) -> str:
    """The code, and what google.rpc says of it: a reason for programs, and the fields in question."""
    words = [error.code().name]
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, request = details.ErrorInfo(), details.BadRequest()
        if detail.Unpack(info):
            words.append(info.reason)
        elif detail.Unpack(request):
            words += [f"({field.field}: {field.description})" for field in request.field_violations]
    return " ".join(words)


def state(order: order_pb2.Order) -> str:
    return order_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")


def watch(reception: ReceptionServiceStub, order_id: str) -> None:
    """Until READY, or until nothing more can come. A stream that breaks is resumed where it was."""
    revision = 0
    while True:
        try:
            request = wire.WatchOrderRequest(order_id=order_id, after_revision=revision)
            for update in reception.WatchOrder(request):
                if not update.HasField("order"):
                    continue  # A heartbeat.
                revision = update.order.revision
                print(f"watched: {state(update.order)}")
                if update.order.state == order_pb2.ORDER_STATE_READY:
                    return
            return
        except grpc.RpcError as error:
            if error.code() not in RESUME:
                raise
            time.sleep(1)  # What is away does not come back sooner for being asked.


def main(address: str) -> None:
    options = [("grpc.service_config", CONFIG.read_text())]
    with grpc.insecure_channel(address, options) as channel:
        reception = ReceptionServiceStub(channel)
        menu = reception.ListMenuItems(wire.ListMenuItemsRequest(page_size=100)).menu_items
        print(f"menu: {len(menu)} drinks, {menu[0].title} for {menu[0].price.amount_minor / 100:.2f}")

        wrong = wire.PlaceOrderItem(drink="mud", size="large", quantity=0)
        try:
            reception.PlaceOrder(wire.PlaceOrderRequest(customer_name="Ada", items=[wrong]))
        except grpc.RpcError as error:
            print("refused:", explain(error))

        # Chosen once for an order, and sent with every try: none of them can order twice.
        request_id = str(uuid.uuid4())
        latte = wire.PlaceOrderItem(drink="latte", size="large", quantity=1)
        request = wire.PlaceOrderRequest(
            request_id=request_id, customer_name="Ada", items=[latte], payment_token="tok_visa"
        )
        try:
            reception.PlaceOrder(request, timeout=0.001)
        except grpc.RpcError as error:
            print("unknown:", explain(error))  # Placed or not: nobody waited for the answer.
        try:
            found = reception.GetOrder(wire.GetOrderRequest(request_id=request_id)).order
            print("looked up:", state(found))
        except grpc.RpcError as error:
            print("looked up:", explain(error))  # Not yet, at least: it may still be under way.
        order = reception.PlaceOrder(request).order
        print("placed:", order.order_id)
        again = reception.PlaceOrder(request).order
        print("placed again:", again.order_id)
        watch(reception, order.order_id)


main(sys.argv[1])
