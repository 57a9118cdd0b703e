package dev.coffeeshop.client;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.coffeeshop.reception.v1.GetOrderRequest;
import dev.coffeeshop.reception.v1.ListMenuItemsRequest;
import dev.coffeeshop.reception.v1.Order;
import dev.coffeeshop.reception.v1.OrderState;
import dev.coffeeshop.reception.v1.PlaceOrderItem;
import dev.coffeeshop.reception.v1.PlaceOrderRequest;
import dev.coffeeshop.reception.v1.ReceptionServiceGrpc;
import dev.coffeeshop.reception.v1.ReceptionServiceGrpc.ReceptionServiceBlockingStub;
import dev.coffeeshop.reception.v1.WatchOrderRequest;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Orders a coffee: the menu, an error in full, a safe retry, and a watch until it is READY. */
public final class OrderCoffee {
  private static final Path CONFIG = Path.of("..", "service-config.json");

  /** A stream that ended with these goes on where it was: the server went, or we were too slow. */
  private static final Set<Status.Code> RESUME =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.ABORTED);

  /** The code, and what google.rpc says of it: a reason for programs, and the fields in question. */
  private static String explain(StatusRuntimeException error) throws InvalidProtocolBufferException {
    var words = new StringBuilder(error.getStatus().getCode().name());
    var status = StatusProto.fromThrowable(error);
    for (Any detail : status == null ? List.<Any>of() : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        words.append(' ').append(detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(BadRequest.class)) {
        for (var field : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          words.append(" (%s: %s)".formatted(field.getField(), field.getDescription()));
        }
      }
    }
    return words.toString();
  }

  private static String state(Order order) {
    return order.getState().name().replace("ORDER_STATE_", "");
  }

  /** Until READY, or until nothing more can come. A stream that breaks is resumed where it was. */
  private static void watch(ReceptionServiceBlockingStub reception, String orderId)
      throws InterruptedException {
    long revision = 0;
    while (true) {
      var request =
          WatchOrderRequest.newBuilder().setOrderId(orderId).setAfterRevision(revision).build();
      try {
        var updates = reception.watchOrder(request);
        while (updates.hasNext()) {
          var update = updates.next();
          if (!update.hasOrder()) {
            continue; // A heartbeat.
          }
          revision = update.getOrder().getRevision();
          System.out.println("watched: " + state(update.getOrder()));
          if (update.getOrder().getState() == OrderState.ORDER_STATE_READY) {
            return;
          }
        }
        return;
      } catch (StatusRuntimeException error) {
        if (!RESUME.contains(error.getStatus().getCode())) {
          throw error;
        }
        Thread.sleep(1000); // What is away does not come back sooner for being asked.
      }
    }
  }

  private static void order(ReceptionServiceBlockingStub reception)
      throws IOException, InterruptedException {
    var menu =
        reception.listMenuItems(ListMenuItemsRequest.newBuilder().setPageSize(100).build());
    var first = menu.getMenuItems(0);
    System.out.printf(
        "menu: %d drinks, %s for %.2f%n",
        menu.getMenuItemsCount(), first.getTitle(), first.getPrice().getAmountMinor() / 100.0);

    var mud = PlaceOrderItem.newBuilder().setDrink("mud").setSize("large");
    try {
      reception.placeOrder(
          PlaceOrderRequest.newBuilder().setCustomerName("Ada").addItems(mud).build());
    } catch (StatusRuntimeException error) {
      System.out.println("refused: " + explain(error));
    }

    // Chosen once for an order, and sent with every try: none of them can order twice.
    var requestId = UUID.randomUUID().toString();
    var latte = PlaceOrderItem.newBuilder().setDrink("latte").setSize("large").setQuantity(1);
    var request =
        PlaceOrderRequest.newBuilder()
            .setRequestId(requestId)
            .setCustomerName("Ada")
            .addItems(latte)
            .setPaymentToken("tok_visa")
            .build();
    try {
      reception.withDeadlineAfter(1, TimeUnit.MILLISECONDS).placeOrder(request);
    } catch (StatusRuntimeException error) {
      System.out.println("unknown: " + explain(error)); // Placed or not: nobody waited.
    }
    try {
      var found = reception.getOrder(GetOrderRequest.newBuilder().setRequestId(requestId).build());
      System.out.println("looked up: " + state(found.getOrder()));
    } catch (StatusRuntimeException error) {
      System.out.println("looked up: " + explain(error)); // Not yet: it may still be under way.
    }
    var placed = reception.placeOrder(request).getOrder();
    System.out.println("placed: " + placed.getOrderId());
    var again = reception.placeOrder(request).getOrder();
    System.out.println("placed again: " + again.getOrderId());
    watch(reception, placed.getOrderId());
  }

  @SuppressWarnings("unchecked") // It is what the builder asks for.
  public static void main(String[] args) throws IOException, InterruptedException {
    Map<String, ?> config = new Gson().fromJson(Files.readString(CONFIG), Map.class);
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(args[0])
            .usePlaintext()
            .defaultServiceConfig(config)
            .build();
    order(ReceptionServiceGrpc.newBlockingStub(channel));
    channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
  }
}
