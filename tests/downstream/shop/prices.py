PRICES = {"bread": 3, "milk": 2}
