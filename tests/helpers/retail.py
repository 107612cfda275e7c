"""The 16 tools of tau-bench's shop as agentnb tools over a copy of its database; see tests/data/tau/README.md."""
import ast, copy, gzip, hashlib, json, operator
from typing import Literal

from agentnb import Context, ToolError, tool
from places import DATA


def load(name): return json.loads(gzip.decompress((DATA/"tau"/f"retail_{name}.json.gz").read_bytes()))


def digest(db): return hashlib.sha256(json.dumps({k: db[k] for k in ("users", "orders", "products")}, sort_keys=True).encode()).hexdigest()


def found(table, key, what):
    if key in table: return table[key]
    raise ToolError("not_found", f"there is no {what} {key!r}.", "Look it up with another tool first.")


def money(amount): return round(amount, 2)


class Shop:
    "The database; remembers what was done under which idempotency key"
    def __init__(self, db): self.open(db)

    def open(self, db): self.users, self.orders, self.products, self.done = db["users"], db["orders"], db["products"], db.setdefault("done", {})

    def once(self, context, act):
        key = context.idempotency_key
        if key and key in self.done: return self.done[key]
        value = copy.deepcopy(act())
        if key: self.done[key] = value
        return value

    def order(self, order_id, status):
        order = found(self.orders, order_id, "order")
        if order["status"] != status: raise ToolError("conflict", f"order {order_id} is {order['status']}, not {status}.", "Tell the user.")
        return order

    def payment(self, order, method_id): return found(self.users[order["user_id"]]["payment_methods"], method_id, f"payment method of {order['user_id']}")

    def pay(self, order, method_id, amount):
        "What is paid is negative for a refund; only gift cards hold a balance"
        method = self.payment(order, method_id)
        if method["source"] == "gift_card": method["balance"] = money(method["balance"] - amount)

    def can_pay(self, order, method_id, amount):
        method = self.payment(order, method_id)
        if method["source"] == "gift_card" and method["balance"] < amount:
            raise ToolError("conflict", f"{method_id} has {method['balance']}, and {amount} is needed.", "Offer another payment method.")

    def swap(self, order, old_ids, new_ids):
        "The items of the order that are given up, what stands for each, and the difference in price"
        if len(old_ids) != len(new_ids): raise ToolError("invalid_input", "item_ids and new_item_ids differ in length.", "Give one new item for each.")
        left, pairs = list(order["items"]), []
        for old, new in zip(old_ids, new_ids):
            item = next((i for i in left if i["item_id"] == old), None)
            if item is None: raise ToolError("not_found", f"item {old} is not in the order (often enough).", "Look at the order.")
            left.remove(item)
            variant = found(self.products[item["product_id"]]["variants"], new, f"variant of {item['name']}")
            if not variant["available"]: raise ToolError("conflict", f"item {new} is not available.", "Look at the product for another.")
            pairs.append((item, variant))
        return pairs, money(sum(new["price"] - old["price"] for old, new in pairs))


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.USub: operator.neg}


def reckon(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float): return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS: return OPERATORS[type(node.op)](reckon(node.left), reckon(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS: return OPERATORS[type(node.op)](reckon(node.operand))
    raise ToolError("invalid_input", "only numbers, + - * / and parentheses are understood.", "Write for example (2 + 3) * 4.")


def looking_tools(shop):
    look = dict(read_only=True, open_world=False)

    @tool(**look)
    def calculate(
        expression: str,  # numbers, + - * / and parentheses, such as '(2 + 3) * 4'
    ) -> str: "The value of an arithmetic expression, to the cent; use it for every sum that the user is told"
    @tool(**look)
    def think(
        thought: str,  # in words; nobody else reads it
    ) -> str: "Note a thought before a decision; nothing is looked up or changed"
    @tool(**look)
    def find_user_id_by_email(
        email: str,  # as the user gives it, such as 'something@example.com'
    ) -> str: "The id of the user who has an email address; ask for it first"
    @tool(**look)
    def find_user_id_by_name_zip(
        first_name: str,  # such as 'John'
        last_name: str,  # such as 'Doe'
        zip: str,  # of the default address, such as '12345'
    ) -> str: "The id of the user with this name and postal code; for users who do not remember their email"
    @tool(**look)
    def get_order_details(
        order_id: str,  # begins with '#', such as '#W0000000'
    ) -> dict: "Status, items, address and payments of an order"
    @tool(**look)
    def get_product_details(
        product_id: str,  # of a product, not of an item: such as '6086499569'
    ) -> dict: "All variants of a product with price and availability"
    @tool(**look)
    def get_user_details(
        user_id: str,  # such as 'sara_doe_496'
    ) -> dict: "Address, email, payment methods and order ids of a user"
    @tool(**look)
    def list_all_product_types() -> dict: "The product id of each of the shop's 50 kinds of products, by name"

    def name_zip(first_name, last_name, zip):
        for user_id, u in shop.users.items():
            known = u["name"]["first_name"].lower(), u["name"]["last_name"].lower(), u["address"]["zip"]
            if known == (first_name.lower(), last_name.lower(), zip): return user_id
        raise ToolError("not_found", "no user has this name and zip.", "Ask for the email.")

    def email_of(email):
        for user_id, u in shop.users.items():
            if u["email"].lower() == email.lower(): return user_id
        raise ToolError("not_found", "no user has this email.", "Ask for name and zip.")

    does = dict(calculate=lambda expression: str(money(reckon(ast.parse(expression, mode="eval").body))), think=lambda thought: "",
        find_user_id_by_email=email_of, find_user_id_by_name_zip=name_zip,
        get_order_details=lambda order_id: found(shop.orders, order_id, "order"),
        get_product_details=lambda product_id: found(shop.products, product_id, "product"),
        get_user_details=lambda user_id: found(shop.users, user_id, "user"),
        list_all_product_types=lambda: {p["name"]: p["product_id"] for p in sorted(shop.products.values(), key=lambda p: p["name"])})
    tools = [calculate, think, find_user_id_by_email, find_user_id_by_name_zip, get_order_details, get_product_details, get_user_details,
        list_all_product_types]
    for t in tools: t.fn = does[t.name]
    return tools


def acting_tools(shop):
    act, loses = dict(idempotent=True, destructive=False, open_world=False), dict(idempotent=True, open_world=False)

    @tool(**loses)
    def cancel_pending_order(
        order_id: str,  # begins with '#', such as '#W0000000'
        reason: Literal["no longer needed", "ordered by mistake"],  # as the user gives it
        context: Context,
    ) -> dict:
        "Cancel an order that is still pending and refund what was paid; get the user's explicit yes first"
        def change():
            order = shop.order(order_id, "pending")
            refunds = [dict(p, transaction_type="refund") for p in order["payment_history"]]
            for p in refunds: shop.pay(order, p["payment_method_id"], -p["amount"])
            order.update(status="cancelled", cancel_reason=reason, payment_history=order["payment_history"] + refunds)
            return order
        return shop.once(context, change)

    @tool(**act)
    def exchange_delivered_order_items(
        order_id: str,  # begins with '#', such as '#W0000000'
        item_ids: list[str],  # to be given back, each such as '1008292230'; one may be there twice
        new_item_ids: list[str],  # for each the variant of the same product that replaces it
        payment_method_id: str,  # pays or receives the difference, such as 'gift_card_0000000'
        context: Context,
    ) -> dict:
        "Ask for other variants of delivered items; an order can be returned or exchanged once, so collect all items first"
        def change():
            order = shop.order(order_id, "delivered")
            _, more = shop.swap(order, item_ids, new_item_ids)
            shop.can_pay(order, payment_method_id, more)
            order.update(status="exchange requested", exchange_items=sorted(item_ids), exchange_new_items=sorted(new_item_ids),
                exchange_payment_method_id=payment_method_id, exchange_price_difference=more)
            return order
        return shop.once(context, change)

    @tool(**act)
    def return_delivered_order_items(
        order_id: str,  # begins with '#', such as '#W0000000'
        item_ids: list[str],  # to be given back, each such as '1008292230'; one may be there twice
        payment_method_id: str,  # receives the refund: the one that paid, or a gift card
        context: Context,
    ) -> dict:
        "Ask to give delivered items back for a refund; the user hears by email how"
        def change():
            order, left = shop.order(order_id, "delivered"), None
            left = [i["item_id"] for i in order["items"]]
            if shop.payment(order, payment_method_id)["source"] != "gift_card" and payment_method_id != order["payment_history"][0]["payment_method_id"]:
                raise ToolError("conflict", "a refund goes to the method that paid or to a gift card.", "Offer one of these.")
            for item in item_ids:
                if item not in left: raise ToolError("not_found", f"item {item} is not in the order (often enough).", "Look at the order.")
                left.remove(item)
            order.update(status="return requested", return_items=sorted(item_ids), return_payment_method_id=payment_method_id)
            return order
        return shop.once(context, change)
    return [cancel_pending_order, exchange_delivered_order_items, return_delivered_order_items]


def modifying_tools(shop):
    act = dict(idempotent=True, destructive=False, open_world=False)

    @tool(**act)
    def modify_pending_order_items(
        order_id: str,  # begins with '#', such as '#W0000000'
        item_ids: list[str],  # to be replaced, each such as '1008292230'; one may be there twice
        new_item_ids: list[str],  # for each the variant of the same product that replaces it
        payment_method_id: str,  # pays or receives the difference, such as 'gift_card_0000000'
        context: Context,
    ) -> dict:
        "Replace items of a pending order by other variants; possible once, and nothing else can be changed afterwards"
        def change():
            order = shop.order(order_id, "pending")
            pairs, more = shop.swap(order, item_ids, new_item_ids)
            shop.can_pay(order, payment_method_id, more)
            shop.pay(order, payment_method_id, more)
            kind = "payment" if more > 0 else "refund"
            order["payment_history"] = [*order["payment_history"], dict(transaction_type=kind, amount=abs(more), payment_method_id=payment_method_id)]
            for item, variant in pairs: item.update(item_id=variant["item_id"], price=variant["price"], options=variant["options"])
            order["status"] = "pending (item modified)"
            return order
        return shop.once(context, change)

    @tool(**act)
    def modify_pending_order_payment(
        order_id: str,  # begins with '#', such as '#W0000000'
        payment_method_id: str,  # pays from now on, such as 'credit_card_0000000'
        context: Context,
    ) -> dict:
        "Let another payment method pay for a pending order, and refund the one before"
        def change():
            order = shop.order(order_id, "pending")
            if len(order["payment_history"]) != 1: raise ToolError("conflict", "the payment was changed before.", "Tell the user.")
            [paid] = order["payment_history"]
            if paid["payment_method_id"] == payment_method_id: raise ToolError("conflict", "this method pays already.", "Ask for another.")
            shop.can_pay(order, payment_method_id, paid["amount"])
            shop.pay(order, payment_method_id, paid["amount"])
            shop.pay(order, paid["payment_method_id"], -paid["amount"])
            order["payment_history"] = [paid, dict(paid, payment_method_id=payment_method_id), dict(paid, transaction_type="refund")]
            return order
        return shop.once(context, change)

    @tool(**act)
    def modify_pending_order_address(
        order_id: str,  # begins with '#', such as '#W0000000'
        address1: str,  # street and number, such as '123 Main St'
        address2: str,  # such as 'Apt 1', or empty
        city: str,  # such as 'San Francisco'
        state: str,  # such as 'CA'
        country: str,  # such as 'USA'
        zip: str,  # such as '12345'
        context: Context,
    ) -> dict:
        "Send a pending order to another address"
        def change():
            order = shop.order(order_id, "pending")
            order["address"] = dict(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
            return order
        return shop.once(context, change)

    @tool(**act)
    def modify_user_address(
        user_id: str,  # such as 'sara_doe_496'
        address1: str,  # street and number, such as '123 Main St'
        address2: str,  # such as 'Apt 1', or empty
        city: str,  # such as 'San Francisco'
        state: str,  # such as 'CA'
        country: str,  # such as 'USA'
        zip: str,  # such as '12345'
        context: Context,
    ) -> dict:
        "Change where a user's future orders go by default"
        def change():
            user = found(shop.users, user_id, "user")
            user["address"] = dict(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
            return user
        return shop.once(context, change)

    @tool(**act)
    def transfer_to_human_agents(
        summary: str,  # what the user wants, and what was tried
        context: Context,
    ) -> str:
        "Hand the user over to a person; only where they ask for it, or no tool can help"
        return shop.once(context, lambda: "The user is handed over.")
    return [modify_pending_order_items, modify_pending_order_payment, modify_pending_order_address, modify_user_address, transfer_to_human_agents]


def retail_tools(db):
    "The 16 tools over a database"
    return shop_tools(Shop(db))


def shop_tools(shop):
    "The same over a shop, which may open on another database later: to make a tool reads its source"
    return [*looking_tools(shop), *acting_tools(shop), *modifying_tools(shop)]
