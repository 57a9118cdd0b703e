// Orders a coffee: the menu, an error in full, a safe retry, and a watch until it is READY.
package main

//go:generate buf generate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "coffeeshop/gen/coffeeshop/reception/v1"
)

// explain gives the code, and what google.rpc says of it: a reason for programs, and the fields in question.
func explain(err error) string {
	st := status.Convert(err)
	words := []string{st.Code().String()}
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			words = append(words, detail.Reason)
		case *errdetails.BadRequest:
			for _, field := range detail.FieldViolations {
				words = append(words, fmt.Sprintf("(%s: %s)", field.Field, field.Description))
			}
		}
	}
	return strings.Join(words, " ")
}

func state(order *pb.Order) string {
	return strings.TrimPrefix(order.State.String(), "ORDER_STATE_")
}

// watch returns when the order is READY, or when nothing more can come. A stream that breaks is
// resumed where it was.
func watch(ctx context.Context, reception pb.ReceptionServiceClient, orderID string) error {
	revision := int64(0)
	for {
		request := &pb.WatchOrderRequest{OrderId: orderID, AfterRevision: revision}
		updates, err := reception.WatchOrder(ctx, request)
		for err == nil {
			var update *pb.WatchOrderResponse
			if update, err = updates.Recv(); err != nil || update.GetOrder() == nil {
				continue // The end, or a heartbeat.
			}
			revision = update.GetOrder().Revision
			fmt.Println("watched:", state(update.GetOrder()))
			if update.GetOrder().State == pb.OrderState_ORDER_STATE_READY {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		// The server went, or we were too slow.
		if code := status.Code(err); code != codes.Unavailable && code != codes.Aborted {
			return err
		}
		time.Sleep(time.Second) // What is away does not come back sooner for being asked.
	}
}

func run(ctx context.Context, reception pb.ReceptionServiceClient) error {
	menu, err := reception.ListMenuItems(ctx, &pb.ListMenuItemsRequest{PageSize: 100})
	if err != nil {
		return err
	}
	first := menu.MenuItems[0]
	fmt.Printf("menu: %d drinks, %s for %.2f\n", len(menu.MenuItems), first.Title, float64(first.Price.AmountMinor)/100)

	mud := &pb.PlaceOrderItem{Drink: "mud", Size: "large"}
	_, err = reception.PlaceOrder(ctx, &pb.PlaceOrderRequest{CustomerName: "Ada", Items: []*pb.PlaceOrderItem{mud}})
	fmt.Println("refused:", explain(err))

	latte := &pb.PlaceOrderItem{Drink: "latte", Size: "large", Quantity: 1}
	request := &pb.PlaceOrderRequest{
		// Chosen once for an order, and sent with every try: none of them can order twice.
		RequestId:    uuid.NewString(),
		CustomerName: "Ada",
		Items:        []*pb.PlaceOrderItem{latte},
		PaymentToken: "tok_visa",
	}
	impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err = reception.PlaceOrder(impatient, request); err != nil {
		fmt.Println("unknown:", explain(err)) // Placed or not: nobody waited for the answer.
	}
	by := &pb.GetOrderRequest_RequestId{RequestId: request.RequestId}
	if found, err := reception.GetOrder(ctx, &pb.GetOrderRequest{By: by}); err == nil {
		fmt.Println("looked up:", state(found.Order))
	} else {
		fmt.Println("looked up:", explain(err)) // Not yet, at least: it may still be under way.
	}
	placed, err := reception.PlaceOrder(ctx, request)
	if err != nil {
		return err
	}
	fmt.Println("placed:", placed.Order.OrderId)
	again, err := reception.PlaceOrder(ctx, request)
	if err != nil {
		return err
	}
	fmt.Println("placed again:", again.Order.OrderId)
	return watch(ctx, reception, placed.Order.OrderId)
}

func main() {
	config, err := os.ReadFile("../service-config.json")
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	if err := run(context.Background(), pb.NewReceptionServiceClient(connection)); err != nil {
		log.Fatal(explain(err))
	}
}
