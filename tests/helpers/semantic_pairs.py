"""Pairs of requests, written by hand, for the semantic cache.

FOOLING: nearly the same words and another meaning. Most embedders put such pairs nearer than true paraphrases.
SAME: one request in other words; one answer does for all lines of a block.
`DEV` was written first and the guard was mended where it failed there. `HELD_OUT` was written after the guard was
frozen (commit "The guard is frozen"), and the guard was not touched again for it.
"""
from itertools import combinations


def _pairs(text):
    found = {}
    for line in text.strip().splitlines():
        if line.startswith("## "): kind = found.setdefault(line[3:], [])
        elif line.strip(): kind.append(tuple(part.strip() for part in line.split(" | ")))
    return found


def _lines(text): return [block.splitlines() for block in text.strip().split("\n\n")]


DEV_FOOLING = _pairs('''
## negation
Restart the checkout service | Don't restart the checkout service
Which servers are up? | Which servers are not up?
Show me orders that were paid | Show me orders that were not paid
Is it safe to delete the cache? | Is it unsafe to delete the cache?
Can I take aspirin with alcohol? | Can't I take aspirin with alcohol?
List users with admin rights | List users without admin rights
I want a room with a view | I don't want a room with a view
Do notify the customer | Do not notify the customer
Tell me why the build failed | Tell me why the build never failed
Send the report to everyone | Send the report to no one
Use the cache | Never use the cache
Did the payment go through? | Didn't the payment go through?
## antonyms
Turn on the alarm | Turn off the alarm
How do I enable two-factor login? | How do I disable two-factor login?
Increase the timeout of the gateway | Decrease the timeout of the gateway
Open the valve | Close the valve
Lock my account | Unlock my account
What are the pros of microservices? | What are the cons of microservices?
Buy 10 shares of IBM | Sell 10 shares of IBM
Subscribe me to the newsletter | Unsubscribe me from the newsletter
Encrypt this file | Decrypt this file
Show the newest ticket | Show the oldest ticket
How do I import contacts? | How do I export contacts?
Mount the volume | Unmount the volume
Accept the invitation | Decline the invitation
What is the maximum temperature today? | What is the minimum temperature today?
## digits
Delete order 1009 | Delete order 1008
Book a table for 2 | Book a table for 3
What is 15% of 200? | What is 50% of 200?
Scale checkout to 3 pods | Scale checkout to 30 pods
Roll back to version 4.2.1 | Roll back to version 4.1.2
What is 7 times 8? | What is 7 times 9?
Refund order #77 | Refund order #78
Show the first three errors | Show the first four errors
What happened in 1945? | What happened in 1954?
Round 3.14 to an integer | Round 31.4 to an integer
Give me two examples | Give me twelve examples
Set the volume to 1.5 | Set the volume to 15
## units
How far is 5 km? | How far is 5 miles?
Convert 100 degrees Celsius | Convert 100 degrees Fahrenheit
Wait 10 seconds before the retry | Wait 10 minutes before the retry
Is 80 kg too heavy? | Is 80 lb too heavy?
How much is 3 GB? | How much is 3 MB?
Set the limit to 100ms | Set the limit to 100s
Is the tank 5 litres? | Is the tank 5 gallons?
It runs for an hour | It runs for hours
Add 2 cups of sugar | Add 2 spoons of sugar
How tall is 180 cm? | How tall is 180 in?
## currencies
What is €20 worth? | What is $20 worth?
Refund 20 euros | Refund 20 dollars
Convert 100 USD to EUR | Convert 100 EUR to USD
Is 5 pounds enough? | Is 5 pounds sterling enough?
Pay 30 CHF to Ann | Pay 30 SEK to Ann
## dates
What is on my calendar on Monday? | What is on my calendar on Tuesday?
Show sales for March 2024 | Show sales for March 2023
Remind me tomorrow | Remind me today
Who won the cup in 2018? | Who won the cup in 2014?
Move it to 3pm | Move it to 3am
Sales in the last year | Sales in last year
Show logs since 2024-01-05 | Show logs since 2024-05-01
What changed this week? | What changed last week?
Meet me at noon | Meet me at midnight
Flights on 7 May | Flights on 8 May
## names
Who is the mother of Ann? | Who is the mother of Anna?
What is the capital of Austria? | What is the capital of Australia?
Restart db-1 | Restart db-2
What is the weather in Paris, Texas? | What is the weather in Paris, France?
Email Bill about the meeting | Email Phil about the meeting
Is Java easy to learn? | Is JavaScript easy to learn?
How do I sort a list in C? | How do I sort a list in C++?
Tell me about Georgia O'Keeffe | Tell me about Georgia
How do I polish furniture? | How do I find Polish furniture?
Is apple a good breakfast? | Is Apple a good breakfast?
Who founded Springfield? | Who founded Springdale?
What does the WHO do? | What does the who do?
## quoted and code
Say "hello" to the user | Say "goodbye" to the user
Rename 'a.txt' | Rename 'b.txt'
What does `x = 5` do? | What does `x == 5` do?
Run git push | Run git pull
What does chmod 755 mean? | What does chmod 777 mean?
Grep for "a  b" | Grep for "a b"
Is a/b in the path? | Is a\\b in the path?
What does a && b do? | What does a & b do?
Translate "the bank" | Translate "a bank"
Open http://example.com/a | Open http://example.com/b
Is x > y? | Is x < y?
## direction
Fly from Rome to Oslo | Fly from Oslo to Rome
Translate this from Dutch to French | Translate this from French to Dutch
Did Ann pay Bob? | Did Bob pay Ann?
Copy staging to production | Copy production to staging
Is a dog a kind of animal? | Is a animal a kind of dog?
Merge main into feature | Merge feature into main
Compare the price of A with B and buy A | Compare the price of B with A and buy B
Subtract 3 from 8 | Subtract 8 from 3
The brother of the friend of the king | The friend of the brother of the king
## quantifiers
Delete all backups | Delete no backups
Are all tests green? | Are any tests green?
Show every failed job | Show some failed job
Only admins may log in | Admins may only log in
A few people came | Few people came
Most users agree | Users agree
Show at most five rows | Show at least five rows
Delete the file | Delete the files
Show both accounts | Show either account
## before and after
Back up before the upgrade | Back up after the upgrade
Stop the job until midnight | Stop the job at midnight
Restart A before B | Restart B before A
Notify me when it starts | Notify me when it ends
Tell me when it is done | When is it done?
## comparatives
Is Oslo bigger than Rome? | Is Rome bigger than Oslo?
Which is faster, A or B? | Which is fastest, A or B?
Show orders over 100 euros | Show orders under 100 euros
Find a cheaper flight | Find the cheapest flight
More than five errors | Less than five errors
## acts
Can you delete files? | Delete files
Restart the server? | Restart the server
Should I restart the server? | Restart the server
How do I restart the server? | How did I restart the server?
What is a joke? | Tell me a joke
Explain how to restart the server | Restart the server
No, stop the job | No stop the job
## languages
Schalte das Licht an | Schalte das Licht aus
Allume la lampe | Éteins la lampe
Abre la puerta | Cierra la puerta
Wie alt ist Anna? | Wie alt ist Anne?
Il a dix ans | Il a dix euros
明日の天気は? | 昨日の天気は?
¿Cuántos años tiene? | ¿Cuántos anos tiene?
Включи свет | Выключи свет
Ist die Masse 5 kg? | Ist die Maße 5 kg?
Ouvre le fichier | Ouvre les fichiers
''')

DEV_SAME = _lines('''
How do I restart the checkout service?
how can I restart the checkout service
How to restart the checkout service?
Could you tell me how to restart the checkout service, please?
Please tell me how to restart checkout service

What is the capital of France?
what's the capital of France
Tell me the capital of France
Please tell me the capital of France.
Hi, what is the capital of France?

Restart the payment service
Please restart the payment service
restart payment service
Restart the payment service, thanks
Could you please restart the payment service?

Why is the build red?
why's the build red
Why is the build red, please?
I want to know why the build is red
Why is build red?

Delete order 1009
Please delete order 1009
delete order 1009.
I need you to delete order 1009
Delete order 1009, thank you

Who won the cup in 2018?
In 2018, who won the cup?
who won the cup in 2018
Hello, who won the cup in 2018?
Tell me who won the cup in 2018

Don't restart the service
Do not restart the service
Please don't restart the service
please do not restart service
Do not restart the service, please

How do I sort a list in Python?
In Python, how do I sort a list?
How can I sort a list in Python?
how to sort a list in Python
Show me how to sort a list in Python

Book a table for two
book a table for 2
Please book a table for two.
Hey, book a table for two
I would like you to book a table for two

What is the status of order 77?
what's the status of order 77
Tell me the status of order 77
Could you please tell me the status of order 77?
What is status of order 77

I'd like to cancel my order
I would like to cancel my order
I want to cancel my order
i'd like to cancel my order please
Cancel my order

The disk is full
Our disk is full
There is no space left on the disk
disk is full
The disk is full.

What does this error mean?
What's the meaning of this error?
what does this error mean
Please, what does this error mean?
Explain this error

How much does shipping cost?
how much is shipping
What is the price of shipping?
How much does shipping cost
Hello, how much does shipping cost?

Show me the logs of checkout
Display the checkout logs
show the logs of checkout
Please show me the logs of checkout
Show logs of checkout

Which organisation owns this domain?
which organization owns this domain
Who owns this domain?
Please tell me which organisation owns this domain
Which organisation owns this domain

Can you help me find my invoice?
can you help me find my invoice
Help me find my invoice
Could you help me find my invoice, please?
Please help me find my invoice

When does the shop open on Sunday?
On Sunday, when does the shop open?
when does the shop open on Sunday
What are the opening hours on Sunday?
When does the shop open Sundays?

Summarise the meeting of Monday
Summarize the meeting of Monday
summarise meeting of Monday
Please summarise the meeting of Monday
Give me a summary of the Monday meeting

Wie alt ist Anna?
wie alt ist Anna
Wie alt ist die Anna?
Wie alt ist Anna.
Kannst du mir sagen, wie alt Anna ist?
''')


def same_pairs(lines): return [pair for line in lines for pair in combinations(line, 2)]


def fooling_pairs(kinds): return [(kind, *pair) for kind, pairs in kinds.items() for pair in pairs]


HELD_OUT_FOOLING = _pairs('''
## negation
Is the pool open in winter? | Is the pool not open in winter?
Which of these mushrooms can I eat? | Which of these mushrooms can't I eat?
Include archived tickets | Exclude archived tickets
Show patients with allergies | Show patients without allergies
Why did the test pass? | Why didn't the test pass?
Do share my number with them | Don't share my number with them
Is anyone allowed to park here? | Is no one allowed to park here?
Can the dog eat chocolate? | Can the dog not eat chocolate?
The service should restart | The service should not restart
Is this legal in Spain? | Is this illegal in Spain?
Publish the draft now | Do not publish the draft now
I have had the vaccine | I haven't had the vaccine
List verified sellers | List unverified sellers
Please stop | Please don't stop
## antonyms
Raise the price of tickets | Lower the price of tickets
How do I gain weight? | How do I lose weight?
Start the backup | Stop the backup
Show the top sellers | Show the bottom sellers
Is the north gate open? | Is the south gate open?
Push the button | Pull the button
Approve the request | Reject the request
What are the benefits of fasting? | What are the risks of fasting?
How do I connect the headset? | How do I disconnect the headset?
Scale up the workers | Scale down the workers
Mute the microphone | Unmute the microphone
Archive the project | Restore the project
Who is the tallest player? | Who is the shortest player?
How do I install Docker? | How do I uninstall Docker?
Compress the images | Decompress the images
Log me in | Log me out
## digits
How old is room 12? | How old is room 21?
Transfer 500 to savings | Transfer 5000 to savings
What is the square root of 16? | What is the square root of 64?
Open ticket 4471 | Open ticket 4417
What is on page 9? | What is on page 6?
Add 1,000 rows | Add 10,000 rows
Is 0.5 enough? | Is 0.05 enough?
Play the second song | Play the seventh song
Cut it into six pieces | Cut it into eight pieces
Use port 8080 | Use port 8081
Who was Henry VIII? | Who was Henry VII?
Compute 2 + 2 | Compute 2 * 2
Delete the 3 largest files | Delete the 3 smallest files
## units and currencies
The hike is 12 km long | The hike is 12 mi long
How much is 50 GBP in yen? | How much is 50 USD in yen?
Cook it for 20 minutes | Cook it for 20 hours
Take 5 mg a day | Take 5 ml a day
Set it to 70°F | Set it to 70°C
Is 2 TB enough? | Is 2 GB enough?
Charge her $9 | Charge her £9
Pour 3 pints of milk | Pour 3 litres of milk
Rent per week | Rent per month
It costs 40 cents | It costs 40 dollars
A speed of 30 mph | A speed of 30 kph
## dates and times
What is due in June? | What is due in July?
Who was president in 1980? | Who was president in 1890?
Wake me at 6 am | Wake me at 6 pm
The report of last quarter | The report of this quarter
Is the bank open on Saturday? | Is the bank open on Sunday?
Trains after 18:30 | Trains after 13:30
What happened yesterday? | What happened today?
The deadline is 01/02/2025 | The deadline is 02/01/2025
Are you free this evening? | Are you free this morning?
Sunrise on 1 May | Sunrise on 1 March
## names
Call Jon | Call John
Population of Niger | Population of Nigeria
Is Mercury a planet? | Is Venus a planet?
Deploy billing to eu-west-1 | Deploy billing to eu-west-2
Who wrote Emma? | Who wrote Ema?
Flights to San Jose | Flights to San Juan
Open the Slovakia report | Open the Slovenia report
Is ibuprofen safe? | Is paracetamol safe?
Use gpt-5.5 | Use gpt-5.5-mini
Ask Dr. Lee | Ask Mr. Lee
How do I learn go? | How do I learn Go?
Side effects of prednisone | Side effects of prednisolone
Show the us orders | Show the US orders
## quoted and code
Reply with "yes" | Reply with "no"
What does 'ls -l' do? | What does 'ls -a' do?
Rename foo.py to bar.py | Rename bar.py to foo.py
Is `a != b` true? | Is `a == b` true?
Search for "New York" | Search for "new york"
What is *args? | What is **kwargs?
Explain [0-9]+ | Explain [0-9]*
Delete /tmp/a | Delete /tmp
What does $PATH hold? | What does $HOME hold?
Send it to ann@example.com | Send it to ann@example.org
## direction
Convert miles to kilometres | Convert kilometres to miles
Move Ann's files to Bob's folder | Move Bob's files to Ann's folder
Is tea better than coffee? | Is coffee better than tea?
Forward the mail from Eve to Sam | Forward the mail from Sam to Eve
Who beat Brazil? | Who did Brazil beat?
Replace red with blue | Replace blue with red
Divide 10 by 2 | Divide 2 by 10
The cat chased the mouse | The mouse chased the cat
Does smoke cause fire? | Does fire cause smoke?
Reviews by critics of films | Films of critics by reviews
## quantifiers
Cancel all my subscriptions | Cancel one of my subscriptions
Did everyone vote? | Did anyone vote?
Show several examples | Show an example
Give each child a book | Give the children a book
Is it always raining there? | Is it sometimes raining there?
Half of the users | Twice the users
Many of the nodes failed | None of the nodes failed
Remove the duplicate rows | Remove the duplicate row
Only Ann can see it | Even Ann can see it
## order and condition
Eat before the match | Eat after the match
Alert me if it is down | Alert me unless it is down
Wait while it runs | Wait until it runs
Charge first, then ship | Ship first, then charge
Since the update it is slow | Until the update it is slow
If it rains, we stay | If we stay, it rains
Restart because it failed | Restart although it failed
Pay now and then call | Pay now or then call
## comparatives and degree
Rooms cheaper than 90 | Rooms dearer than 90
The larger of the two | The largest of the two
It is too hot | It is very hot
Files bigger than 1 MB | Files smaller than 1 MB
At the latest on Friday | At the earliest on Friday
## acts and people
Did you send the mail? | Send the mail
May I delete it? | Delete it
Who called me? | Who did I call?
My salary | Your salary
How do I look in this suit? | How to look in this suit
How can I help? | How can you help?
I want to quit | Quit
He sold it | She sold it
What would you do? | What did you do?
It was deployed | It will be deployed
## languages
Öffne das Fenster | Schließe das Fenster
Ich habe keine Zeit | Ich habe eine Zeit
Je ne veux pas de sucre | Je veux de sucre
El vuelo sale de Lima a Quito | El vuelo sale de Quito a Lima
Il treno parte alle 7 | Il treno parte alle 8
Zet de verwarming aan | Zet de verwarming uit
Ліцензія чинна? | Ліцензія нечинна?
空调打开 | 空调关闭
Mach die Lampe an bitte | Mach die Lampe aus bitte
Tem leite? | Não tem leite?
''')

HELD_OUT_SAME = _lines('''
How can I reset my password?
How do I reset my password?
how to reset my password
Could you tell me how to reset my password?
I forgot my password, how do I reset it?

What is the refund policy?
What's the refund policy?
Tell me the refund policy please
Can you please tell me the refund policy?
How do refunds work?

Where is my parcel?
Where's my parcel?
where is my parcel
Please tell me where my parcel is
My parcel has not arrived, where is it?

Cancel my subscription
Please cancel my subscription.
I would like to cancel my subscription
I'd like to cancel my subscription, please
Cancel my subscription, thanks

Who is on call tonight?
who's on call tonight
Who is on call tonight
Hi, who is on call tonight?
Which engineer is on call tonight?

Why is the checkout page slow?
why is the checkout page slow
Why's the checkout page slow?
Why is the checkout page so slow?
What makes the checkout page slow?

Convert 10 km to miles
Please convert 10 km to miles
convert 10 km to miles.
Can you please convert 10 km to miles?
How many miles are 10 km?

Send the invoice to Ann
Please send the invoice to Ann
Could you please send the invoice to Ann?
I need you to send the invoice to Ann
Email Ann the invoice

Which version of Postgres do we run?
which version of Postgres do we run
Tell me which version of Postgres we run
What version of Postgres do we run?
Hello, which version of Postgres do we run?

In Excel, how do I freeze a row?
How do I freeze a row in Excel?
how can I freeze a row in Excel
How to freeze a row in Excel
Freeze a row in Excel: how?

The printer isn't working
The printer is not working
the printer isn't working.
Our printer does not work
Hi, the printer isn't working

What does idempotent mean?
what does idempotent mean
What is the meaning of idempotent?
Please explain what idempotent means
What does "idempotent" mean?

Show me the failed jobs
Show the failed jobs
Please show me the failed jobs
Display failed jobs
Show me the failed jobs, please.

Are there any flights to Oslo on Friday?
are there any flights to Oslo on Friday
On Friday, are there any flights to Oslo?
Any flights to Oslo on Friday?
Do you have flights to Oslo on Friday?

I can't log in
I cannot log in
i can't log in
I can not log in.
Logging in does not work

Summarise this thread
Please summarise this thread
summarize this thread
Could you summarise this thread?
Give me a summary of this thread

How many vacation days do I have left?
how many vacation days do I have left
How many days of vacation do I have left?
Please tell me how many vacation days I have left
How much holiday have I left?

Book a room for six people
Book a room for 6 people
Please book a room for six people
I want you to book a room for six people
Reserve a room for six people
''')


# Labelled pairs that certify a threshold: those of DEV, and four ways to ask how each of these is done
TASKS = """export my contacts|change the email address|add a new user|pin a message|rotate the keys|merge two accounts|print a label|track a parcel|
share a folder|restore a backup|rename a branch|revert a commit|pay by card|split the bill|scan a receipt|clean the filter|
charge the battery|pair the headset|mute a channel|block a number|book a desk|report a bug|label an issue|close a ticket|move a widget|
resize the window|zoom the map|rotate a picture|crop an image|record a call|skip the intro|freeze a row|protect a sheet|insert a chart|
trace a route|drain a node|scale the cluster|tail the log|flush the cache|renew the certificate"""


FORMS = ["How do I {}?", "how can I {}", "How to {}?", "Could you tell me how to {}, please?", "Please tell me how to {}", "Hi, how do I {}?",
    "how do we {}", "show me how to {}"]


def asked(tasks, forms): return same_pairs([[form.format(task.strip()) for form in forms] for task in tasks])


def labelled():
    same = asked(TASKS.split("|"), FORMS[:4]) + same_pairs(DEV_SAME)
    return [(a, b, True) for a, b in same] + [(a, b, False) for _, a, b in fooling_pairs(DEV_FOOLING)]


def few_labelled():
    "As many accepted pairs as a certificate takes, from as few texts as possible: 96"
    return [(a, b, True) for a, b in asked(TASKS.split("|")[:12], FORMS)]
